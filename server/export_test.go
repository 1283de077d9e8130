package server

import (
	"maps"

	"github.com/emprops/holdfast/internal/apikey"
)

// ProcedureScopes is the table, for a test against the descriptors.
func ProcedureScopes() map[string]apikey.Scope { return maps.Clone(procedureScopes) }
