package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/emprops/holdfast/internal/config"
)

// failed says what went wrong and how to get on, and returns the exit code; exitOK without an error.
func (c *clientCommand) failed(p program, address string, err error) int {
	if err == nil {
		return exitOK
	}
	var usage usageError
	if errors.As(err, &usage) {
		say(p.stderr, "holdfast %s: %s\nholdfast %s --help lists its flags.", c.name, usage.text, c.name)
		return exitUsage
	}
	say(p.stderr, "holdfast %s: %s", c.name, c.explained(address, err))
	if connect.CodeOf(err) == connect.CodeInvalidArgument {
		return exitUsage
	}
	return exitError
}

// explained is the text of an error with the way out.
func (c *clientCommand) explained(address string, err error) string {
	var answer *connect.Error
	if !errors.As(err, &answer) {
		return printable(err.Error())
	}
	text := printable(answer.Message())
	if !connect.IsWireError(err) {
		if answer.Code() == connect.CodeUnimplemented || answer.Code() == connect.CodeUnknown || answer.Code() == connect.CodeInternal {
			return fmt.Sprintf("%s does not answer like a Holdfast: %s; check --server (env %s)", printable(address), text, config.ServerEnv)
		}
		return fmt.Sprintf("%s cannot be reached: %s; start one with holdfast dev, or name another with --server (env %s)",
			printable(address), text, config.ServerEnv)
	}
	switch answer.Code() {
	case connect.CodeInvalidArgument:
		return c.violations(answer, text)
	case connect.CodeNotFound:
		return text + "; holdfast webhook list shows what there is"
	case connect.CodeAborted:
		return text + " holdfast webhook get shows the revision for --expected-revision."
	case connect.CodeUnauthenticated:
		return text + "; give one with --api-key (env " + config.APIKeyEnv + ")"
	case connect.CodePermissionDenied:
		return text + "; use another with --api-key (env " + config.APIKeyEnv + ")"
	case connect.CodeUnimplemented:
		return text + "; the server is of another version or does not offer this"
	case connect.CodeUnavailable:
		return text + "; try again, and see " + printable(address) + "/readyz for what is missing"
	default:
		return text
	}
}

// violations names the flags whose values are refused.
func (c *clientCommand) violations(answer *connect.Error, text string) string {
	var lines []string
	for _, d := range answer.Details() {
		message, err := d.Value()
		if err != nil {
			continue
		}
		bad, ok := message.(*errdetails.BadRequest)
		if !ok {
			continue
		}
		for _, v := range bad.GetFieldViolations() {
			lines = append(lines, flagOf(v.GetField())+" "+printable(v.GetDescription()))
		}
	}
	if len(lines) == 0 {
		return text
	}
	return strings.Join(lines, "\n  ")
}

// requestFlags are the flags of the fields of requests that belong to no webhook.
var requestFlags = map[string]string{
	"id": "ID", "webhookId": "ID", "wait": "--wait", "expectedRevision": "--expected-revision", "requestId": "--request-id",
	"idempotencyKey": "--idempotency-key", "updateMask": "--clear", "reason": "--reason", "overlap": "--overlap",
	"secret": "--secret", "state": "--state", "eventType": "--event-type", "eventTypes": "--event-type", "timeout": "--timeout",
}

var index = regexp.MustCompile(`\[\d+\]$`)

// flagOf names the flag that sets a field, and the field where they are spelled differently.
func flagOf(field string) string {
	whole := index.ReplaceAllString(field, "")
	if flag := requestFlags[whole]; flag != "" {
		return flag
	}
	path, ofWebhook := strings.CutPrefix(whole, "webhook.")
	for path := path; ofWebhook && path != ""; path = path[:max(0, strings.LastIndexByte(path, '.'))] {
		for _, s := range webhookSettings {
			if s.path == path || strings.HasPrefix(s.path, path+".") {
				return "--" + s.flag + " (" + printable(field) + ")"
			}
		}
	}
	return printable(field)
}
