package rest

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// Bounds of a request's body (CONTRACT 1.1).
const (
	maxBody = 10 << 20
	maxForm = 100 << 10
)

// bodyOf reads an object from a JSON or form body. Any other body is an empty object, as it was for the original. What
// cannot be read is the caller's mistake, where the original called it its own (D60).
func bodyOf(r *http.Request) (map[string]json.RawMessage, error) {
	body, err := io.ReadAll(r.Body)
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, &refusal{http.StatusRequestEntityTooLarge, "The request body is larger than 10 MB", err}
	}
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, "The request body could not be read", err}
	}
	object := map[string]json.RawMessage{}
	switch kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); {
	case len(body) == 0:
		return object, nil
	case kind == "application/x-www-form-urlencoded":
		if len(body) > maxForm {
			return nil, &refusal{http.StatusRequestEntityTooLarge, "The form is larger than 100 KB", nil}
		}
		if body, err = formAsJSON(string(body)); err != nil {
			return nil, badRequest("The form could not be read: " + err.Error())
		}
	case kind != "application/json":
		return object, nil
	}
	if err := json.Unmarshal(body, &object); err != nil {
		if _, another := errors.AsType[*json.UnmarshalTypeError](err); another {
			return nil, badRequest("The request body must be a JSON object")
		}
		return nil, badRequest("The request body is not valid JSON: " + err.Error())
	}
	if object == nil {
		return nil, badRequest("The request body must be a JSON object")
	}
	return object, nil
}

// formAsJSON gives a form the shape that its keys describe: a=1, a[]=1 and a[b]=1, to any depth.
func formAsJSON(form string) ([]byte, error) {
	values, err := url.ParseQuery(form)
	if err != nil {
		return nil, err
	}
	root := map[string]any{}
	for key, all := range values {
		path := pathOf(key)
		inside := root
		for _, name := range path[:len(path)-1] {
			next, isObject := inside[name].(map[string]any)
			if !isObject {
				if inside[name] != nil {
					return nil, errors.New(key + " contradicts another key")
				}
				next = map[string]any{}
				inside[name] = next
			}
			inside = next
		}
		last, list := strings.CutSuffix(path[len(path)-1], "[]")
		switch {
		case inside[last] != nil:
			return nil, errors.New(key + " contradicts another key")
		case list || len(all) > 1:
			inside[last] = all
		default:
			inside[last] = all[0]
		}
	}
	return json.Marshal(root)
}

// pathOf splits a[b][] into a and b[].
func pathOf(key string) []string {
	name, rest, nested := strings.Cut(key, "[")
	if !nested || name == "" || !strings.HasSuffix(rest, "]") {
		return []string{key}
	}
	path := []string{name}
	for part := range strings.SplitSeq(strings.TrimSuffix(rest, "]"), "][") {
		if part == "" { // a list: what follows it is not understood, and becomes part of its name
			path[len(path)-1] += "[]"
			continue
		}
		path = append(path, part)
	}
	return path
}
