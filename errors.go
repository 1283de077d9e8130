package holdfast

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code classifies an error by what its receiver can do about it. Every code has one row in the tables that translate
// it: to Connect codes (server), to Temporal retryability (activities) and to a text for people (Text).
type Code string

// The error codes. An error without a code counts as CodeInternal, whose text never leaves the process.
const (
	CodeInvalid      Code = "invalid"      // the request is wrong; Violations name the fields
	CodeNotFound     Code = "not_found"    // the thing does not exist; never used for a storage failure
	CodeExists       Code = "exists"       // the thing exists already with other content
	CodePrecondition Code = "precondition" // the thing's state forbids the operation
	CodeAborted      Code = "aborted"      // a concurrent change came first; read again and retry
	CodeExhausted    Code = "exhausted"    // a bound is reached; retry after RetryAfter
	CodeUnavailable  Code = "unavailable"  // something we depend on (Redis, Temporal, EMPROPS) is out of reach; retry
	CodeRejected     Code = "rejected"     // EMPROPS refused the registration; retrying will not help
	CodeUnauthorized Code = "unauthorized" // credentials are missing or wrong
	CodeInternal     Code = "internal"     // our fault; the text stays inside
)

// Codes lists every code, for the tests that require each translation table to be complete.
func Codes() []Code {
	return []Code{
		CodeInvalid, CodeNotFound, CodeExists, CodePrecondition, CodeAborted, CodeExhausted, CodeUnavailable,
		CodeRejected, CodeUnauthorized, CodeInternal,
	}
}

// Text is what a person is told when an error of the code carries no message fit to show.
func (c Code) Text() string {
	switch c {
	case CodeInvalid:
		return "The request is not valid."
	case CodeNotFound:
		return "Not found."
	case CodeExists:
		return "It exists already with other content."
	case CodePrecondition:
		return "The current state does not allow this."
	case CodeAborted:
		return "Another change came first; read again and retry."
	case CodeExhausted:
		return "A limit is reached; retry later."
	case CodeUnavailable:
		return "A service this depends on is unavailable; retry later."
	case CodeRejected:
		return "The EMPROPS platform refused the registration."
	case CodeUnauthorized:
		return "Credentials are missing or wrong."
	case CodeInternal:
		return "Internal error."
	}
	return "Internal error."
}

// Violation is one broken rule of a request: the path of the field in the API's spelling and what is wrong with it.
type Violation struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

// Error is an error with a code. Message is fit to show to the caller except for CodeInternal.
type Error struct {
	Code       Code
	Message    string
	Violations []Violation   // with CodeInvalid
	RetryAfter time.Duration // with CodeExhausted and CodeUnavailable, when known
	Cause      error
}

// Error implements error: the message, the violations, then the cause.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Message)
	for i, v := range e.Violations {
		if i == 0 && e.Message != "" {
			b.WriteString(": ")
		} else if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(v.Field + ": " + v.Description)
	}
	if e.Cause != nil {
		b.WriteString(": " + e.Cause.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Errorf makes an error with a code whose whole text may be shown to the caller.
func Errorf(code Code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap gives cause a code and a text for the caller. The cause stays in Error() for logs and in the chain for errors.Is,
// but ErrorMessage does not show it: it may name hosts and keys that are nobody else's business.
func Wrap(code Code, cause error, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Cause: cause}
}

// Invalid makes a CodeInvalid error from violations; nil when there are none.
func Invalid(violations []Violation) error {
	if len(violations) == 0 {
		return nil
	}
	return &Error{Code: CodeInvalid, Message: "invalid request", Violations: violations}
}

// ErrorCode returns the code of the first coded error in err's chain: "" for nil, CodeInternal when none has a code.
func ErrorCode(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// ErrorMessage returns the text to show to a caller: the message of a coded error, the code's text otherwise.
func ErrorMessage(err error) string {
	var e *Error
	if errors.As(err, &e) && e.Code != CodeInternal && e.Message != "" {
		return e.Message
	}
	return ErrorCode(err).Text()
}
