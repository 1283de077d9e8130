// Package emprops is the client for the webhook registration calls of the EMPROPS platform (CONTRACT 7.5). A webhook
// counts as known to the platform only when the platform shows it on a read that follows our own write.
package emprops
