package app

import (
	"github.com/emprops/holdfast/internal/eventfilter"
)

// compileFilters gives the registry cache its filter expressions; equal ones are compiled once.
func compileFilters() func(string) (func(*eventfilter.View) bool, error) {
	compiled := eventfilter.NewCache(filtersKept)
	return func(expression string) (func(*eventfilter.View) bool, error) {
		filter, err := compiled.Compile(expression)
		if err != nil {
			return nil, err
		}
		return func(v *eventfilter.View) bool {
			// An expression that has no value for the event, as when a field is missing, does not match it.
			pass, _ := filter.Match(v)
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
