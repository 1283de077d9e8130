package jobevents

import "slices"

// KeysOf lists the keys that the data of live events of a type can have: "workflow_details.id" is the key id inside
// workflow_details. None for a type that no message is mapped to.
func KeysOf(eventType string) []string {
	var keys []string
	for _, f := range slices.Concat(mappings[eventType], lookedUp[eventType].adds) {
		keys = append(keys, f.key)
		for _, inner := range f.chosen {
			keys = append(keys, f.key+"."+inner)
		}
	}
	return keys
}
