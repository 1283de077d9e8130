//go:build unix

package devserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ErrDataDirBusy is in the chain of the error for a data directory that another running server uses.
var ErrDataDirBusy = errors.New("data directory is in use by another running server")

// lockFile creates and locks the file at path, waiting out a killed predecessor. The lock ends when the last copy of the
// descriptor is closed, so with the process whatever ends it, and with its child when the child was given the file.
func lockFile(ctx context.Context, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	err = retryFor(ctx, leftoverGrace, func() error {
		return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	})
	if err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w (%s is locked)", ErrDataDirBusy, path)
		}
		return nil, fmt.Errorf("lock data directory %s: %w", path, err)
	}
	return f, nil
}
