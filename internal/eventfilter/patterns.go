package eventfilter

import (
	"regexp"
	"regexp/syntax"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"
)

// literalPatterns demands that regular expressions are written out, so that they are checked and compiled once.
type literalPatterns struct{}

// Name implements cel.ASTValidator.
func (literalPatterns) Name() string { return "holdfast.literal_patterns" }

// Validate implements cel.ASTValidator.
func (literalPatterns) Validate(_ *cel.Env, _ cel.ValidatorConfig, a *ast.AST, issues *cel.Issues) {
	for _, call := range ast.MatchDescendants(ast.NavigateAST(a), ast.FunctionMatcher(overloads.Matches)) {
		args := call.AsCall().Args()
		if len(args) == 0 {
			continue
		}
		pattern := args[len(args)-1]
		if pattern.Kind() != ast.LiteralKind {
			issues.ReportErrorAtID(pattern.ID(), "the pattern of matches must be written out as a text")
			continue
		}
		text, _ := pattern.AsLiteral().(types.String)
		if length, err := patternLength(string(text)); err != nil {
			issues.ReportErrorAtID(pattern.ID(), "%s", err.Error())
		} else if length > maxPattern {
			issues.ReportErrorAtID(pattern.ID(), "the pattern is too large; mind repetitions such as {1000}")
		}
	}
}

// patternLength is how many instructions a pattern compiles to; matching takes at most that many steps for each byte.
func patternLength(pattern string) (int, error) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0, err
	}
	return len(program.Inst), nil
}

// patternLengths are the patterns of one expression; it is complete when the expression is compiled.
type patternLengths map[string]int

func (p patternLengths) steps(text types.String, pattern string) int { return len(text) * p[pattern] }

// bound compiles the pattern of a call and refuses texts that would take it long.
func (p patternLengths) bound(call interpreter.InterpretableCall, pattern string) (interpreter.InterpretableCall, error) {
	compiled, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	if p[pattern], err = patternLength(pattern); err != nil {
		return nil, err
	}
	return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), func(args ...ref.Val) ref.Val {
		text, ok := args[0].(types.String)
		if !ok {
			return types.MaybeNoSuchOverloadErr(args[0])
		}
		if p.steps(text, pattern) > maxPatternSteps {
			return types.NewErr("a text of %d bytes is too long for the pattern", len(text))
		}
		return types.Bool(compiled.MatchString(string(text)))
	}), nil
}
