// Now says, for each line it reads, the time, and how long it has measured since the line before.
package main

import (
	"bufio"
	"fmt"
	"os"
	"time"
)

func main() {
	last := time.Now()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		now := time.Now()
		fmt.Println(now.Unix(), now.Sub(last).Milliseconds())
		last = now
	}
}
