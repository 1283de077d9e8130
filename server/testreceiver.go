package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	holdfast "github.com/emprops/holdfast"
)

// maxReceivedBytes bounds the body a test receiver records; it is that of the largest event.
const maxReceivedBytes = holdfast.MaxEventBytes + 64<<10

// testReceiver is the route /test-receivers/{id}/webhook. It records any request and answers 200 (CONTRACT 6.1).
//
// For trying out retries the query of the receiver's URL can ask for failures:
//
//	?fail_first=N&status=S  answers S (503 when left out) to the first N requests with the same X-Event-ID, then 200
//	?status=S               answers S to every request
//
// N is 0 to 100 and S 200 to 599. Failed requests are recorded too; they are counted in the record, which holds the newest
// MaxReceivedRequests, so nothing has to be remembered and a restart changes nothing.
type testReceiver struct {
	receivers Receivers
	log       *zap.Logger
}

type receiverAnswer struct {
	Success    bool   `json:"success"`
	Error      string `json:"error,omitempty"`
	Message    string `json:"message,omitempty"`
	ReceiverID string `json:"receiver_id,omitempty"`
	RequestID  string `json:"request_id,omitempty"`
	Timestamp  int64  `json:"timestamp"` // ms since the epoch
}

// ServeHTTP implements http.Handler.
func (t *testReceiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	if r.Method == http.MethodOptions { // as the original: answered, not recorded
		w.WriteHeader(http.StatusNoContent)
		return
	}
	id := r.PathValue("id")
	answer := receiverAnswer{ReceiverID: id, Timestamp: now.UnixMilli()}
	var request ReceivedRequest
	plan, err := failurePlanOf(r.URL.Query())
	status := http.StatusBadRequest
	if err == nil {
		request, status, err = readRequest(w, r, now)
	}
	if err == nil {
		status, err = t.record(r.Context(), id, request, plan)
	}
	switch {
	case err != nil:
		answer.Error = holdfast.ErrorMessage(err)
		if status == http.StatusNotFound {
			answer.Message = "The receiver does not exist or has expired"
		}
	case status >= 300:
		answer.Error, answer.RequestID = fmt.Sprintf("This receiver was told to answer %d", status), request.ID
	default:
		answer.Success, answer.Message, answer.RequestID = true, "Test webhook received successfully", request.ID
	}
	writeJSON(w, status, answer)
}

// readRequest takes the request in; an error comes with the status to answer.
func readRequest(w http.ResponseWriter, r *http.Request, now time.Time) (ReceivedRequest, int, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReceivedBytes))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return ReceivedRequest{}, http.StatusRequestEntityTooLarge,
			holdfast.Errorf(holdfast.CodeExhausted, "The body is larger than %d bytes", maxReceivedBytes)
	} else if err != nil {
		return ReceivedRequest{}, http.StatusBadRequest,
			holdfast.Wrap(holdfast.CodeInvalid, err, "The body could not be read")
	}
	headers := maps.Clone(r.Header)
	headers["Host"] = []string{r.Host}
	return ReceivedRequest{
		ID: "req" + strings.TrimPrefix(holdfast.NewEventID(now), "evt"), Time: now.UnixMilli(), Method: r.Method,
		Headers: headers, Body: body, Query: r.URL.RawQuery, RemoteAddr: r.RemoteAddr,
	}, 0, nil
}

// record stores the request and returns the status to answer.
func (t *testReceiver) record(ctx context.Context, id string, request ReceivedRequest, plan failurePlan) (int, error) {
	err := t.receivers.AddReceivedRequest(ctx, id, request)
	seen := 0
	if err == nil && plan.first > 0 {
		var stored []ReceivedRequest
		stored, err = t.receivers.ReceivedRequests(ctx, id, MaxReceivedRequests)
		for i := range stored {
			if eventIDOf(&stored[i]) == eventIDOf(&request) {
				seen++
			}
		}
	}
	switch {
	case err == nil:
		return plan.status(seen), nil
	case holdfast.ErrorCode(err) == holdfast.CodeNotFound:
		return http.StatusNotFound, holdfast.Errorf(holdfast.CodeNotFound, "Test receiver not found")
	}
	t.log.Warn("test receiver could not record a request", zap.String("receiver_id", id), zap.Error(err))
	return http.StatusServiceUnavailable, holdfast.Wrap(holdfast.CodeUnavailable, err, "Failed to record the request")
}

func eventIDOf(r *ReceivedRequest) string { return http.Header(r.Headers).Get("X-Event-ID") }

// failurePlan says which requests of an event fail, and how.
type failurePlan struct {
	first  int // so many
	always bool
	code   int
}

// status is the one to answer to the nth request of an event (1-based).
func (p failurePlan) status(n int) int {
	if p.always || n <= p.first && p.first > 0 {
		return p.code
	}
	return http.StatusOK
}

func failurePlanOf(q url.Values) (failurePlan, error) {
	plan := failurePlan{code: http.StatusServiceUnavailable, always: q.Has("status") && !q.Has("fail_first")}
	number := func(name string, into *int, lowest, highest int) error {
		if !q.Has(name) {
			return nil
		}
		n, err := strconv.Atoi(q.Get(name))
		if err != nil || n < lowest || n > highest {
			return holdfast.Errorf(holdfast.CodeInvalid, "%s must be a number from %d to %d", name, lowest, highest)
		}
		*into = n
		return nil
	}
	return plan, errors.Join(number("fail_first", &plan.first, 0, MaxReceivedRequests), number("status", &plan.code, 200, 599))
}
