package holdfast_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

func TestCodesListsEveryCodeAndEachHasAText(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	require.NoError(t, err)
	declared := 0
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "Code") {
			declared++
		}
		return true
	})
	require.Len(t, holdfast.Codes(), declared)
	texts := map[string]bool{}
	for _, code := range holdfast.Codes() {
		require.NotEmpty(t, code.Text())
		require.False(t, texts[code.Text()], "two codes tell people the same: %s", code)
		texts[code.Text()] = true
	}
	require.Equal(t, holdfast.CodeInternal.Text(), holdfast.Code("unheard of").Text())
}

func TestErrorCodeIsThatOfTheFirstCodedErrorInTheChain(t *testing.T) {
	t.Parallel()
	require.Equal(t, holdfast.Code(""), holdfast.ErrorCode(nil))
	require.Equal(t, holdfast.CodeInternal, holdfast.ErrorCode(io.EOF))
	inner := holdfast.Errorf(holdfast.CodeNotFound, "webhook %s does not exist", "wh_1")
	require.Equal(t, holdfast.CodeNotFound, holdfast.ErrorCode(fmt.Errorf("get: %w", inner)))
	require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(holdfast.Wrap(holdfast.CodeUnavailable, inner, "storage")))
}

func TestG8_CausesStayOutOfTheMessage(t *testing.T) {
	t.Parallel()
	cause := errors.New("dial tcp redis.internal:6379: refused")
	err := holdfast.Wrap(holdfast.CodeUnavailable, cause, "the registry cannot be read")
	require.Equal(t, "the registry cannot be read", holdfast.ErrorMessage(err))
	require.Equal(t, "the registry cannot be read: dial tcp redis.internal:6379: refused", err.Error())
	require.ErrorIs(t, err, cause)

	require.Equal(t, "Internal error.", holdfast.ErrorMessage(cause))
	require.Equal(t, "Internal error.", holdfast.ErrorMessage(holdfast.Errorf(holdfast.CodeInternal, "nil map at redis.internal")))
	require.Equal(t, "Not found.", holdfast.ErrorMessage(&holdfast.Error{Code: holdfast.CodeNotFound}))
}

func TestInvalidCarriesItsViolations(t *testing.T) {
	t.Parallel()
	require.NoError(t, holdfast.Invalid(nil))
	err := holdfast.Invalid([]holdfast.Violation{{Field: "url", Description: "is required"}, {Field: "secret", Description: "is long"}})
	require.EqualError(t, err, "invalid request: url: is required; secret: is long")
	require.Equal(t, holdfast.CodeInvalid, holdfast.ErrorCode(err))
	var coded *holdfast.Error
	require.ErrorAs(t, err, &coded)
	require.Len(t, coded.Violations, 2)
	require.EqualError(t, &holdfast.Error{Code: holdfast.CodeInvalid, Violations: coded.Violations[:1]}, "url: is required")
}

func TestRetryAfterTravelsWithTheError(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("publish: %w", &holdfast.Error{Code: holdfast.CodeExhausted, Message: "queue is full", RetryAfter: time.Second})
	var coded *holdfast.Error
	require.ErrorAs(t, err, &coded)
	require.Equal(t, time.Second, coded.RetryAfter)
}
