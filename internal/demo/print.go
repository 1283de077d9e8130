package demo

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// printer writes aligned lines.
type printer struct{ to io.Writer }

// line writes one line behind its label.
func (p printer) line(label, format string, args ...any) {
	p.text(fmt.Sprintf("%-10s ", label) + fmt.Sprintf(format, args...))
}

func (p printer) text(s string) { _, _ = fmt.Fprintln(p.to, strings.TrimRight(s, " ")) }

// ms is a duration in whole milliseconds.
func ms(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) + " ms" }

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if before, ok := strings.CutSuffix(noun, "y"); ok {
		return strconv.Itoa(n) + " " + before + "ies"
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// short cuts what is longer than n characters.
func short(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// word is the name of an enum's value as the domain spells it.
func word(value fmt.Stringer, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(value.String(), prefix))
}
