package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

// offset is what TESTKIT_CLOCK's file says, nil without one.
var offset = func() *int64 {
	path, ok := syscall.Getenv("TESTKIT_CLOCK")
	if !ok {
		return nil
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY, 0)
	if err != nil {
		panic("TESTKIT_CLOCK: " + err.Error())
	}
	at, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("TESTKIT_CLOCK: " + err.Error())
	}
	return (*int64)(unsafe.Pointer(&at[0]))
}()

// jumped is by how many seconds the clock is off.
func jumped() int64 {
	if offset == nil {
		return 0
	}
	return atomic.LoadInt64(offset)
}
