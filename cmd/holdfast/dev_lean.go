//go:build lean

package main

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/emprops/holdfast/internal/config"
)

// dev is not part of a lean build: it would bring a whole Temporal server with it.
func dev(context.Context, program, config.Config, *zap.Logger) error {
	return errors.New("this is a lean build without the embedded services; use serve, or build without the tag lean")
}
