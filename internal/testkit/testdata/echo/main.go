// Echo is a program for the tests of testkit: it prints what it was given and ends when interrupted.
package main

import (
	"fmt"
	"os"
	"os/signal"
)

func main() {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	fmt.Println("args", os.Args[1:], os.Getenv("GREETING"))
	fmt.Fprintln(os.Stderr, "ready on port 12")
	<-interrupted
	fmt.Print("no newline at the end")
	os.Exit(3)
}
