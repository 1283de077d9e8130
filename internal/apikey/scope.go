package apikey

// Scope is what a key may do. Each scope includes those before it.
type Scope int

// The scopes.
const (
	Read    Scope = iota + 1 // look at everything
	Write                    // besides: register, change, test and delete webhooks, publish events, make receivers
	Operate                  // besides: decide about what is under way: disconnect, reconnect, retry, cancel, replay, check
)

var scopeNames = map[Scope]string{Read: "read", Write: "write", Operate: "operate"}

// String is the scope's name, as in the configuration.
func (s Scope) String() string { return scopeNames[s] }

// ParseScope returns the scope with a name; ok is false when there is none.
func ParseScope(name string) (scope Scope, ok bool) {
	for scope, its := range scopeNames {
		if its == name {
			return scope, true
		}
	}
	return 0, false
}
