// Package jobrecovery finds the outcomes of workflows that nobody was told of: the job broker's pub/sub keeps nothing, and
// the broker gives up telling when EMPROPS does not answer or when it was restarted itself (CONTRACT 7.2, D65, D66). It
// reads what the broker and its workers attested before (CONTRACT 5.2) and publishes the events that nobody knows, under the
// ids that the broker's messages would have had.
package jobrecovery
