package rest

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/server"
)

// answer is a success: a status and what stands beside "success" in the envelope (CONTRACT 1.1).
type answer struct {
	status int
	fields map[string]any
}

func ok(fields map[string]any) (answer, error) { return answer{http.StatusOK, fields}, nil }

func created(data any) (answer, error) {
	return answer{http.StatusCreated, map[string]any{"data": data}}, nil
}

// refusal is a client error with the original's text.
type refusal struct {
	status int
	text   string
	cause  error // nil when the text says it all
}

func (e *refusal) Error() string { return e.text }

func (e *refusal) Unwrap() error { return e.cause }

// notFound has the original's text for what does not exist.
func notFound(err error, text string) error {
	if holdfast.ErrorCode(err) == holdfast.CodeNotFound {
		return &refusal{http.StatusNotFound, text, err}
	}
	return err
}

func badRequest(text string) error { return &refusal{http.StatusBadRequest, text, nil} }

// statuses is the only translation of error codes to HTTP.
var statuses = map[holdfast.Code]int{
	holdfast.CodeInvalid:      http.StatusBadRequest,
	holdfast.CodeNotFound:     http.StatusNotFound,
	holdfast.CodeExists:       http.StatusConflict,
	holdfast.CodePrecondition: http.StatusConflict,
	holdfast.CodeAborted:      http.StatusConflict,
	holdfast.CodeRejected:     http.StatusUnprocessableEntity,
	holdfast.CodeUnauthorized: http.StatusUnauthorized,
	holdfast.CodeExhausted:    http.StatusTooManyRequests,
	holdfast.CodeUnavailable:  http.StatusServiceUnavailable,
}

// handler writes what a route's handler answers to those who may ask it.
func (a *api) handler(route route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := server.Permit(r.Context(), route.scope); err != nil {
			a.fail(w, r, &refusal{http.StatusForbidden, err.Error(), nil})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		got, err := route.handle(r)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		fields := map[string]any{"success": true}
		maps.Copy(fields, got.fields)
		a.write(w, got.status, fields)
	})
}

// fail answers an error. What is not the caller's doing is logged, and its text stays inside.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	if e, ok := errors.AsType[*refusal](err); ok {
		a.write(w, e.status, map[string]any{"success": false, "error": e.text})
		return
	}
	status, known := statuses[holdfast.ErrorCode(err)]
	fields := map[string]any{"success": false, "error": holdfast.ErrorMessage(err)}
	switch {
	case !known:
		status = http.StatusInternalServerError
		fields["error"], fields["message"] = "Internal server error", holdfast.ErrorMessage(err)
	case status == http.StatusServiceUnavailable:
		fields["error"], fields["message"] = "Service unavailable", holdfast.ErrorMessage(err)
	}
	if e, ok := errors.AsType[*holdfast.Error](err); ok {
		if len(e.Violations) > 0 {
			fields["error"], fields["details"] = detailsOf(e.Violations)
		}
		if e.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(max(1, int(e.RetryAfter.Round(time.Second)/time.Second))))
		}
	}
	if status >= http.StatusInternalServerError {
		a.Logger.Warn("request failed", zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Error(err))
	}
	a.write(w, status, fields)
}

type detail struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

// originalFields are the original's names where the domain has others.
var originalFields = strings.NewReplacer(
	"eventTypes", "events", "filters.jobTypes", "filters.job_types", "filters.priorities", "filters.job_priorities",
	"filters.machineIds", "filters.machine_ids", "filters.workerIds", "filters.worker_ids", "retryPolicy.maxAttempts",
	"retry_config.max_attempts", "retryPolicy.initialDelay", "retry_config.initial_delay_ms", "retryPolicy.backoffMultiplier",
	"retry_config.backoff_multiplier", "retryPolicy.maxDelay", "retry_config.max_delay_ms", "retryPolicy", "retry_config",
)

// detailsOf spells violations with the original's names: as one text, and one by one.
func detailsOf(violations []holdfast.Violation) (text string, details []detail) {
	var texts []string
	for _, v := range violations {
		field := originalFields.Replace(v.Field)
		details = append(details, detail{field, v.Description})
		texts = append(texts, field+" "+v.Description)
	}
	return strings.Join(texts, "; "), details
}

// unknown answers a route or method there is not, as the original does.
func (a *api) unknown(w http.ResponseWriter, r *http.Request) {
	a.write(w, http.StatusNotFound, map[string]any{
		"success": false, "error": "Endpoint not found", "path": r.RequestURI,
		"timestamp": a.now().UTC().Format("2006-01-02T15:04:05.000Z"),
	})
}

func (a *api) write(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body) // an error here is the caller's broken connection
}

// limitOf reads a limit as leniently as the original: the number that the text begins with. What is not positive is the
// default, where the original returned all but the last so many, and there is a most (CONTRACT 1.1).
func limitOf(r *http.Request, otherwise, most int) int {
	n := 0
	for _, c := range strings.TrimSpace(r.URL.Query().Get("limit")) {
		if c < '0' || c > '9' || n > most {
			break
		}
		n = 10*n + int(c-'0')
	}
	if n == 0 {
		n = otherwise
	}
	return min(n, most)
}
