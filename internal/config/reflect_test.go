package config

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// requireNoZeroField fails for a field that no row of the table has set.
func requireNoZeroField(t *testing.T, group any) {
	t.Helper()
	v := reflect.ValueOf(group)
	for i := range v.NumField() {
		require.False(t, v.Field(i).IsZero(), "%s.%s is not in the table", v.Type(), v.Type().Field(i).Name)
	}
}
