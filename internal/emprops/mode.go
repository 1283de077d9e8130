package emprops

import "github.com/emprops/holdfast"

// Mode says what EMPROPS' knowledge of a webhook means for its registration. The client behaves alike in both modes that
// call EMPROPS; what a failure means is decided by whoever calls it.
type Mode string

// The modes.
const (
	ModeOff        Mode = "off"         // EMPROPS is never called
	ModeBestEffort Mode = "best_effort" // a failed confirmation leaves the webhook registered and marked unconfirmed
	ModeRequired   Mode = "required"    // a registration is confirmed only when EMPROPS knows the webhook
)

// ParseMode reads a mode as configuration spells it. The error is CodeInvalid and names the choices.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); m {
	case ModeOff, ModeBestEffort, ModeRequired:
		return m, nil
	}
	return "", holdfast.Errorf(holdfast.CodeInvalid, "%q is not an EMPROPS mode; choose %s, %s or %s",
		s, ModeOff, ModeBestEffort, ModeRequired)
}
