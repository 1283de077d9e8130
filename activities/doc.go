// Package activities holds the side effects of the workflows: structs whose fields are their dependencies, with the small
// interfaces they need declared here. Inputs and results travel through workflow histories and therefore never carry a
// credential in clear.
//
// Two kinds of failure are kept apart everywhere. "The attempt failed" is an Outcome: recorded, counted and shown. "We
// failed" is an error: nothing is recorded and Temporal retries.
package activities
