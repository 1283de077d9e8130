package eventfilter

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"

	"github.com/emprops/holdfast"
)

// Filter is a compiled expression. It is immutable and safe for concurrent use; nil lets every event pass.
type Filter struct {
	program cel.Program
}

const example = `type == "job_failed" && data.priority > 50`

// maxComplaint bounds what is said of an expression in bytes; the parser can list every token it would have liked.
const maxComplaint = 200

// Compile parses and type-checks an expression. "" gives nil, the filter that lets every event pass. Errors have
// CodeInvalid and one violation, on "filterExpression", that says where and what is wrong.
func Compile(expression string) (*Filter, error) {
	switch {
	case expression == "":
		return nil, nil
	case len(expression) > holdfast.MaxFilterExpression:
		return nil, invalid(fmt.Sprintf("must not be longer than %d bytes", holdfast.MaxFilterExpression))
	}
	env, err := environment()
	if err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInternal, err, "set up filter expressions")
	}
	ast, issues := env.Compile(expression)
	if err := issues.Err(); err != nil {
		return nil, complaint(issues.Errors())
	}
	if kind := ast.OutputType().Kind(); kind != types.BoolKind && kind != types.DynKind {
		return nil, invalid(fmt.Sprintf("1:1: must be true or false, but is of type %s; for example: %s", ast.OutputType(), example))
	}
	program, err := env.Program(ast, programOptions()...)
	if err != nil {
		return nil, invalid(fmt.Sprintf("1:1: %s; for example: %s", clip(err.Error()), example))
	}
	return &Filter{program}, nil
}

// Match tells whether the event passes. An error says why the expression has no value for this event: data lacks a field,
// has another type in it or is no JSON object, the value is no bool, or a bound was reached. It comes with false and is
// there to be counted; its text may quote the expression and names of fields.
func (f *Filter) Match(v *View) (bool, error) {
	if f == nil {
		return true, nil
	}
	if _, err := v.fields(); err != nil {
		return false, err
	}
	out, _, err := f.program.Eval(newEvaluation(v))
	if err != nil {
		return false, holdfast.Wrap(holdfast.CodePrecondition, err, "the filter expression has no value for the event")
	}
	pass, ok := out.(types.Bool)
	if !ok {
		return false, holdfast.Errorf(holdfast.CodePrecondition, "the filter expression is not true or false but of type %s", out.Type().TypeName())
	}
	return bool(pass), nil
}

// complaint tells the first thing that is wrong; what follows it is often only its consequence.
func complaint(all []*cel.Error) error {
	first := all[0]
	for _, e := range all[1:] {
		if e.Location.Line() < first.Location.Line() ||
			e.Location.Line() == first.Location.Line() && e.Location.Column() < first.Location.Column() {
			first = e
		}
	}
	text := strings.TrimPrefix(first.Message, "Syntax error: ")
	text = strings.ReplaceAll(text, " (in container '')", "")
	return invalid(fmt.Sprintf("%d:%d: %s; for example: %s", max(first.Location.Line(), 1), max(first.Location.Column(), 0)+1, clip(text), example))
}

// clip makes a bounded line of a text that may quote the expression.
func clip(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) > maxComplaint {
		text = strings.ToValidUTF8(text[:maxComplaint], "") + "…"
	}
	return text
}

func invalid(description string) error {
	return holdfast.Invalid([]holdfast.Violation{{Field: "filterExpression", Description: description}})
}
