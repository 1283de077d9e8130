package config

import (
	"fmt"
	"strings"
)

// Usage is the text of -h: every setting that the command takes, grouped, with its flag, meaning, default and environment
// variables.
func Usage(command string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: holdfast %s [flags]\n\n", command)
	b.WriteString("Flags win over environment variables, these over the file of --config, the file over defaults.\n")
	fmt.Fprintf(&b, "\n  --%s FILE\n      read settings from a YAML file\n      env %s\n", configFlag, configEnv)
	for _, section := range sections {
		titled := false
		for i := range settings {
			s := &settings[i]
			if s.section() != section.name || !s.in(command) {
				continue
			}
			if !titled {
				fmt.Fprintf(&b, "\n%s\n", section.title)
				titled = true
			}
			s.writeUsage(&b, command)
		}
	}
	return b.String()
}

func (s *setting) writeUsage(b *strings.Builder, command string) {
	fmt.Fprintf(b, "  --%s\n      %s\n      ", strings.TrimSpace(s.flag+" "+s.arg), s.doc)
	if def := s.defaultIn(command); def != "" {
		fmt.Fprintf(b, "default %s, ", def)
	}
	fmt.Fprintf(b, "env %s", s.env())
	for _, v := range s.other {
		fmt.Fprintf(b, ", %s", v.name)
	}
	b.WriteString("\n")
}
