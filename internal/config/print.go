package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// mask stands where a secret would.
const mask = "***"

// Redacted is the configuration as YAML, with the origin of each value as a comment: default, the file and line, the
// environment variable or the flag. Secrets and passwords in URLs are masked.
func (c Config) Redacted() string {
	var b strings.Builder
	c.write(&b, func(s *setting) string {
		origin, ok := c.origins[s.key]
		if !ok {
			origin = "default"
		}
		return origin
	})
	return b.String()
}

// String is Redacted, so that a configuration that ends up in a log or an error gives nothing away.
func (c Config) String() string { return c.Redacted() }

// GoString is Redacted too, for %#v.
func (c Config) GoString() string { return c.Redacted() }

// write prints the settings as nested YAML, each followed by a comment.
func (c *Config) write(b *strings.Builder, comment func(*setting) string) {
	var open []string // the sections above the current line
	for i := range settings {
		s := &settings[i]
		path := strings.Split(s.key, ".")
		parents := path[:len(path)-1]
		for depth, name := range parents {
			if depth < len(open) && open[depth] == name {
				continue
			}
			open = slices.Clone(parents[:depth+1])
			fmt.Fprintf(b, "%s%s:\n", strings.Repeat("  ", depth), name)
		}
		open = slices.Clone(parents)
		fmt.Fprintf(b, "%s%s: %s # %s\n", strings.Repeat("  ", len(parents)), path[len(path)-1], s.shown(c), comment(s))
	}
}

// shown is the value as it may be printed, quoted for YAML where needed.
func (s *setting) shown(c *Config) string {
	ptr := s.at(c)
	value := text(ptr)
	switch {
	case value == "" && !isList(ptr):
		return scalar("")
	case s.secret && value != "":
		return scalar(mask)
	case s.url:
		return scalar(redactURL(value))
	}
	switch p := ptr.(type) {
	case *[]string:
		quoted := make([]string, len(*p))
		for i, v := range *p {
			quoted[i] = scalar(v)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case *string:
		return scalar(value)
	}
	return value
}

func isList(ptr any) bool {
	_, list := ptr.(*[]string)
	return list
}

// scalar quotes a text where YAML would read something else. Flow indicators are quoted as well, for lists.
func scalar(v string) string {
	n := yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: v}
	if strings.ContainsAny(v, ",[]{}#*&") {
		n.Style = yaml.DoubleQuotedStyle
	}
	out, err := yaml.Marshal(&n)
	if err != nil {
		return fmt.Sprintf("%q", v)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// redactURL masks what a URL may carry to authenticate with: the password, and query parameters named after one.
func redactURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return mask
	}
	if u.User == nil && u.RawQuery == "" {
		return raw
	}
	query := u.Query()
	for name := range query {
		lower := strings.ToLower(name)
		for _, word := range []string{"pass", "token", "key", "secret", "auth"} {
			if strings.Contains(lower, word) {
				query.Set(name, mask)
			}
		}
	}
	if len(query) > 0 {
		u.RawQuery = strings.ReplaceAll(query.Encode(), url.QueryEscape(mask), mask)
	}
	user := u.User
	u.User = nil
	shown := u.String()
	if user != nil {
		info := url.User(user.Username()).String()
		if _, ok := user.Password(); ok {
			info += ":" + mask
		}
		shown = strings.Replace(shown, "//", "//"+info+"@", 1)
	}
	return shown
}
