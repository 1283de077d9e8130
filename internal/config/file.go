package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// applyFile reads a YAML file and sets what it names.
func applyFile(c *Config, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("the file of --%s cannot be read: %w", configFlag, err)
	}
	defer f.Close()
	return applyYAML(c, f, filepath.Base(path))
}

// applyYAML sets what one YAML document names. A key that is unknown or named twice is an error with its line.
func applyYAML(c *Config, r io.Reader, name string) error {
	dec := yaml.NewDecoder(r)
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil // only comments
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: must be one YAML document", name)
	}
	f := fileReader{config: c, name: name, seen: map[string]bool{}}
	return f.mapping(doc.Content[0], "")
}

type fileReader struct {
	config *Config
	name   string
	seen   map[string]bool
}

func (f *fileReader) errorf(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", f.name, n.Line, fmt.Sprintf(format, args...))
}

func (f *fileReader) mapping(n *yaml.Node, prefix string) error {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil // a section without settings
	}
	if n.Kind != yaml.MappingNode {
		return f.errorf(n, "%s must be a mapping of settings", cmp.Or(strings.TrimSuffix(prefix, "."), "the file"))
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if err := f.entry(n.Content[i], n.Content[i+1], prefix); err != nil {
			return err
		}
	}
	return nil
}

func (f *fileReader) entry(name, value *yaml.Node, prefix string) error {
	key := prefix + name.Value
	if f.seen[key] {
		return f.errorf(name, "%s is set twice", key)
	}
	f.seen[key] = true
	s := find(key)
	switch {
	case s == nil && isSection(key):
		return f.mapping(value, key+".")
	case s == nil:
		return f.errorf(name, "unknown setting %q%s", key, suggestion(key, keys(), ""))
	case value.Kind == yaml.ScalarNode && value.Tag == "!!null":
		return nil // a setting without a value keeps its default
	}
	text, err := f.text(s, value)
	if err != nil {
		return err
	}
	where := fmt.Sprintf("%s:%d", f.name, value.Line)
	return s.apply(f.config, text, where, "file "+where)
}

// text is a value in the form that parse takes: lists may be written as YAML sequences.
func (f *fileReader) text(s *setting, n *yaml.Node) (string, error) {
	list := isList(s.at(f.config))
	switch {
	case n.Kind == yaml.ScalarNode:
		return n.Value, nil
	case n.Kind == yaml.SequenceNode && list:
		parts := make([]string, len(n.Content))
		for i, item := range n.Content {
			if item.Kind != yaml.ScalarNode {
				return "", f.errorf(item, "%s must be a list of plain values", s.key)
			}
			parts[i] = item.Value
		}
		return strings.Join(parts, ","), nil
	case list:
		return "", f.errorf(n, "%s must be a list", s.key)
	}
	return "", f.errorf(n, "%s must be a single value", s.key)
}

func isSection(key string) bool {
	for i := range settings {
		if strings.HasPrefix(settings[i].key, key+".") {
			return true
		}
	}
	return false
}

func keys() []string {
	all := make([]string, len(settings))
	for i := range settings {
		all[i] = settings[i].key
	}
	return all
}
