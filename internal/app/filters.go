package app

import (
	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/eventfilter"
)

// compileFilters gives the registry cache its filter expressions; equal ones are compiled once.
func compileFilters() func(string) (func(*holdfast.Event) bool, error) {
	compiled := eventfilter.NewCache(filtersKept)
	return func(expression string) (func(*holdfast.Event) bool, error) {
		filter, err := compiled.Compile(expression)
		if err != nil {
			return nil, err
		}
		return func(e *holdfast.Event) bool {
			// An expression that has no value for the event, as when a field is missing, does not match it.
			pass, _ := filter.Match(eventfilter.NewView(e))
			return pass
		}, nil
	}
}

// filterChecker refuses expressions that do not compile.
type filterChecker struct{}

func (filterChecker) Check(expression string) error {
	_, err := eventfilter.Compile(expression)
	return err
}
