// Temporal is a Temporal server, as StartTemporalProcess starts it, for those that another program than the test is to be.
package main

import "github.com/emprops/holdfast/internal/testkit"

func main() { testkit.ServeTemporalProcess() }
