package eventfilter

import (
	"slices"
	"sync"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/decls"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/stdlib"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// Bounds of one evaluation. CEL always ends, but loops over data within loops may take hours to. CEL's own limit counts an
// operation when it is done, which is too late where one operation is long; so the long ones are refused beforehand.
const (
	maxCost         = 50_000      // in units of at most about a microsecond: a step, or ten bytes of text
	maxTime         = time.Second // of loops
	maxLoopDepth    = 3           // loops within loops
	maxCompared     = 1000        // values inside lists and maps of one comparison
	maxPattern      = 2000        // instructions of a regular expression
	maxPatternSteps = 2 << 20     // instructions times bytes of text
	zoneCost        = 100         // of loading a time zone
)

// environment is what expressions are compiled in.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	// The standard library, but for its name of the type of types, which would stand in the way of the variable.
	named := slices.DeleteFunc(slices.Clone(stdlib.Types()), func(v *decls.VariableDecl) bool { return v.Name() == "type" })
	return cel.NewCustomEnv(
		cel.FunctionDecls(stdlib.Functions()...), cel.VariableDecls(named...), cel.Macros(cel.StandardMacros...),
		cel.Variable("type", cel.StringType),
		cel.Variable("id", cel.StringType),
		cel.Variable("time", cel.TimestampType),
		cel.Variable("data", cel.MapType(cel.StringType, cel.DynType)),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.ASTValidators(
			cel.ValidateComprehensionNestingLimit(maxLoopDepth),
			cel.ValidateTimestampLiterals(), cel.ValidateDurationLiterals(), literalPatterns{},
		),
	)
})

func programOptions() []cel.ProgramOption {
	patterns := patternLengths{}
	return []cel.ProgramOption{
		cel.CustomDecorator(boundComparison), cel.CustomDecorator(boundSum),
		cel.OptimizeRegex(&interpreter.RegexOptimization{Function: overloads.Matches, RegexIndex: 1, Factory: patterns.bound}),
		cel.CostTracking(costs{patterns}),
		cel.CostLimit(maxCost),
		cel.InterruptCheckFrequency(1), // makes loops ask; the answer is evaluation's
	}
}

// costs says what a call costs. Every one costs at least a unit, so that the limit also bounds rounds of loops.
type costs struct{ patterns patternLengths }

// CallCost implements interpreter.ActualCostEstimator.
func (c costs) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	cost := 1
	for _, arg := range args {
		switch arg := arg.(type) {
		case types.String:
			cost += len(arg) / 10
		case types.Bytes:
			cost += len(arg) / 10
		}
	}
	if len(args) == 2 {
		text, isText := args[1].(types.String)
		switch {
		case function == operators.Add:
			cost += copied(args[0], args[1]) / 10
		case isComparison(function):
			cost += compared(function, args[0], args[1])
		case function == overloads.Matches:
			if in, ok := args[0].(types.String); ok && isText {
				cost += c.patterns.steps(in, string(text)) / 100
			}
		case isText && args[0].Type() == types.TimestampType:
			cost += zoneCost
		}
	}
	total := uint64(cost)
	return &total
}

func isComparison(function string) bool {
	return function == operators.Equals || function == operators.NotEquals || function == operators.In
}

// boundSum adds lists by copying them. The library's sum of lists looks through all of them for each element.
func boundSum(step interpreter.Interpretable) (interpreter.Interpretable, error) {
	call, ok := step.(interpreter.InterpretableCall)
	if !ok || call.Function() != operators.Add || len(call.Args()) != 2 {
		return step, nil
	}
	return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), func(args ...ref.Val) ref.Val {
		if n := copied(args[0], args[1]); n > 0 {
			sum := make([]ref.Val, 0, n)
			for _, list := range args {
				for it := list.(traits.Lister).Iterator(); it.HasNext() == types.True; {
					sum = append(sum, it.Next())
				}
			}
			return types.DefaultTypeAdapter.NativeToValue(sum)
		}
		if adder, ok := args[0].(traits.Adder); ok {
			return adder.Add(args[1])
		}
		return types.MaybeNoSuchOverloadErr(args[0])
	}), nil
}

// copied is how many elements a sum copies; what a loop collects grows in place.
func copied(a, b ref.Val) int {
	if _, grows := a.(traits.MutableLister); grows {
		return 0
	}
	n := 0
	for _, v := range []ref.Val{a, b} {
		list, ok := v.(traits.Lister)
		if !ok {
			return 0
		}
		size, _ := list.Size().(types.Int)
		n += int(size)
	}
	return n
}

// boundComparison puts a check in front of comparisons, which look at everything inside lists and maps.
func boundComparison(step interpreter.Interpretable) (interpreter.Interpretable, error) {
	call, ok := step.(interpreter.InterpretableCall)
	if !ok || !isComparison(call.Function()) || len(call.Args()) != 2 {
		return step, nil
	}
	function := call.Function()
	return interpreter.NewCall(call.ID(), function, call.OverloadID(), call.Args(), func(args ...ref.Val) ref.Val {
		if compared(function, args[0], args[1]) > maxCompared {
			return types.NewErr("more than %d values are compared at once", maxCompared)
		}
		switch function {
		case operators.Equals:
			return types.Equal(args[0], args[1])
		case operators.NotEquals:
			return types.Bool(types.Equal(args[0], args[1]) != types.True)
		}
		if container, ok := args[1].(traits.Container); ok {
			return container.Contains(args[0])
		}
		return types.MaybeNoSuchOverloadErr(args[1])
	}), nil
}

// compared is how many values a comparison may look at, counted up to a little more than is allowed.
func compared(function string, a, b ref.Val) int {
	if _, isMap := b.(traits.Mapper); isMap && function == operators.In {
		return weight(a, maxCompared) // a look-up by key
	}
	return weight(a, maxCompared) + weight(b, maxCompared)
}

// weight counts the values inside a value; a long text counts as several. It stops counting above most.
func weight(v ref.Val, most int) int {
	n := 0
	switch v := v.(type) {
	case types.String:
		return len(v) / 1024
	case traits.Lister:
		for it := v.Iterator(); n <= most && it.HasNext() == types.True; {
			n += 1 + weight(it.Next(), most-n)
		}
	case traits.Mapper:
		for it := v.Iterator(); n <= most && it.HasNext() == types.True; {
			value, _ := v.Find(it.Next())
			n += 1 + weight(value, most-n)
		}
	}
	return n
}
