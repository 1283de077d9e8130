package devserver

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/zap"
)

var nopLogger = zap.NewNop()

// helpers are what this test binary does instead of testing, by the value of DEVSERVER_HELPER: parts of this package in a
// process of their own, which a test can kill.
var helpers = map[string]func(){}

func TestMain(m *testing.M) {
	if helper, ok := helpers[os.Getenv("DEVSERVER_HELPER")]; ok {
		helper()
		return
	}
	m.Run()
}

// helperSay says that the helper is ready, or why not, and waits to be killed.
func helperSay(err error, line func() string) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	fmt.Println(line())
	select {}
}
