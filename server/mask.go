package server

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

const (
	everyField  = "*"
	retryPreset = "retryPolicy.preset"
)

// changeOf reads which fields to change from the mask, or without one from what the input holds, and their values. Fields
// that are not named are neither read nor checked.
func changeOf(in *holdfastv1.WebhookInput, mask []string, retry holdfast.RetryPolicy) (ChangeRequest, []holdfast.Violation) {
	if in == nil {
		return ChangeRequest{}, []holdfast.Violation{{Field: "webhook", Description: "is required"}}
	}
	paths, violations := maskPaths(mask)
	if len(mask) == 0 {
		paths = heldPaths(in.ProtoReflect())
	}
	if len(paths) == 0 && violations == nil {
		violations = []holdfast.Violation{{Field: "updateMask", Description: "is required: webhook holds nothing to change"}}
	}
	if violations != nil {
		return ChangeRequest{}, violations
	}
	named := &holdfastv1.WebhookInput{}
	for _, path := range paths {
		keep(named.ProtoReflect(), in.ProtoReflect(), strings.Split(path, "."))
	}
	fields := fieldsOf(paths)
	base := retry
	if !slices.Contains(fields, "retryPolicy") {
		// The fields that are not named are the stored ones: whether they go together is seen there.
		base = holdfast.RetryPolicy{MaxAttempts: 1, InitialDelayMS: holdfast.MinRetryDelayMS, BackoffMultiplier: 1, MaxDelayMS: holdfast.MaxRetryDelayMS}
	}
	w, violations := webhookOf(named, base, retry)
	violations = slices.DeleteFunc(violations, func(v holdfast.Violation) bool {
		return !slices.ContainsFunc(fields, func(field string) bool { return within(v.Field, field) })
	})
	return ChangeRequest{Fields: fields, Webhook: w}, inRequest(violations)
}

// maskPaths checks the mask's paths and returns them in the API's spelling.
func maskPaths(mask []string) (paths []string, violations []holdfast.Violation) {
	for _, given := range mask {
		path := camelCase(given)
		if path == "filters.jobPriorities" { // the original's name (D28)
			path = "filters.priorities"
		}
		switch parent, _, _ := strings.Cut(path, "."); {
		case path == everyField:
			for _, field := range webhookFields {
				if !strings.Contains(field, ".") {
					paths = append(paths, field)
				}
			}
		case slices.Contains(webhookFields, path) || path == retryPreset:
			paths = append(paths, path)
		case slices.Contains(webhookFields, parent) && parent != "filters" && parent != "retryPolicy":
			violations = append(violations, holdfast.Violation{
				Field: "updateMask", Description: fmt.Sprintf("%q cannot be changed by itself; name %q", shortened(given), parent),
			})
		default:
			violations = append(violations, holdfast.Violation{
				Field: "updateMask", Description: fmt.Sprintf("%q is not a field of a webhook; known are %s and %s",
					shortened(given), strings.Join(webhookFields, ", "), retryPreset),
			})
		}
	}
	return paths, violations
}

// heldPaths lists the fields that a message holds, those inside of filters and of the retry policy by themselves. A message
// that holds nothing is named as a whole.
func heldPaths(m protoreflect.Message) (paths []string) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		name := field.JSONName()
		inside := 0
		if name == "filters" || name == "retryPolicy" {
			for _, path := range heldPaths(value.Message()) {
				paths = append(paths, name+"."+path)
				inside++
			}
		}
		if inside == 0 {
			paths = append(paths, name)
		}
		return true
	})
	return paths
}

// keep copies what a path names.
func keep(dst, src protoreflect.Message, path []string) {
	field := src.Descriptor().Fields().ByJSONName(path[0])
	switch {
	case !src.Has(field):
	case len(path) == 1:
		dst.Set(field, src.Get(field))
	default:
		keep(dst.Mutable(field).Message(), src.Get(field).Message(), path[1:])
	}
}

// fieldsOf are the domain's fields that paths name, sorted, without those inside of others. A preset is a whole policy.
func fieldsOf(paths []string) []string {
	fields := slices.Clone(paths)
	for i, field := range fields {
		if field == retryPreset {
			fields[i] = "retryPolicy"
		}
	}
	slices.Sort(fields)
	fields = slices.Compact(fields)
	return slices.DeleteFunc(slices.Clone(fields), func(field string) bool {
		parent, _, nested := strings.Cut(field, ".")
		return nested && slices.Contains(fields, parent)
	})
}

// within tells whether a path of a violation is a field or below it.
func within(path, field string) bool {
	rest, ok := strings.CutPrefix(path, field)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// camelCase spells a path as JSON does: retry_policy.max_attempts is retryPolicy.maxAttempts.
func camelCase(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '_' && i+1 < len(path) && path[i+1] >= 'a' && path[i+1] <= 'z' {
			i++
			b.WriteByte(path[i] - 'a' + 'A')
			continue
		}
		b.WriteByte(path[i])
	}
	return b.String()
}

// shortened bounds what a text repeats of a request.
func shortened(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "")
}
