package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// Size is a number of bytes. Its text form takes units: 16KiB, 1MiB, 500kB or plain bytes.
type Size int64

// String gives the size with the largest binary unit that divides it.
func (s Size) String() string {
	for _, u := range []struct {
		name  string
		bytes Size
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if s >= u.bytes && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// parse puts the value that text spells into the field that ptr points to. The error says what was expected; it does not
// repeat the text, which may be a secret.
func parse(ptr any, text string) error {
	text = strings.TrimSpace(text)
	var err error
	switch p := ptr.(type) {
	case *string:
		*p = text
	case *bool:
		if *p, err = strconv.ParseBool(text); err != nil {
			return errors.New("is not true or false")
		}
	case *int:
		if *p, err = strconv.Atoi(text); err != nil {
			return errors.New("is not a whole number")
		}
	case *float64:
		if *p, err = strconv.ParseFloat(text, 64); err != nil {
			return errors.New("is not a number")
		}
	case *time.Duration:
		if *p, err = time.ParseDuration(text); err != nil {
			return errors.New("is not a duration such as 500ms, 30s or 72h")
		}
	case *Size:
		n, err := humanize.ParseBytes(text)
		if err != nil || n > 1<<62 {
			return errors.New("is not a size such as 65536, 16KiB or 1MiB")
		}
		*p = Size(n)
	case *[]string:
		*p = nil
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				*p = append(*p, part)
			}
		}
	default:
		return fmt.Errorf("has a field of type %T, which has no text form", ptr)
	}
	return nil
}

// text is the inverse of parse.
func text(ptr any) string {
	switch p := ptr.(type) {
	case *time.Duration:
		return shortDuration(*p)
	case *[]string:
		return strings.Join(*p, ",")
	case *string:
		return *p
	case *bool:
		return strconv.FormatBool(*p)
	case *int:
		return strconv.Itoa(*p)
	case *float64:
		return strconv.FormatFloat(*p, 'g', -1, 64)
	case *Size:
		return p.String()
	}
	return ""
}

// shortDuration drops the zero units that time.Duration prints: 72h0m0s is 72h.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func millisForm(v string) (string, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 32)
	if err != nil {
		return "", errors.New("is not a number of milliseconds")
	}
	return (time.Duration(n) * time.Millisecond).String(), nil
}

func portForm(v string) (string, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 16)
	if err != nil {
		return "", errors.New("is not a port number")
	}
	return ":" + strconv.FormatUint(n, 10), nil
}

// logLevelForm takes the level names of the original's logger (winston), which has more of them below info.
func logLevelForm(v string) (string, error) {
	switch v = strings.ToLower(strings.TrimSpace(v)); v {
	case "http", "verbose", "silly":
		return "debug", nil
	default:
		return v, nil
	}
}

// logFormatForm follows the original: json is json, any other word is text for people.
func logFormatForm(v string) (string, error) {
	if strings.EqualFold(strings.TrimSpace(v), "json") {
		return "json", nil
	}
	return "console", nil
}

// corsForm adds the monitor's local origin where it is absent, as the original does.
func corsForm(v string) (string, error) {
	const monitor = "http://localhost:3333"
	var origins []string
	if err := parse(&origins, v); err != nil {
		return "", err
	}
	if !slices.Contains(origins, monitor) {
		origins = append(origins, monitor)
	}
	return strings.Join(origins, ","), nil
}
