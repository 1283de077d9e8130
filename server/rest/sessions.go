package rest

import (
	"fmt"
	"net/http"

	"github.com/emprops/holdfast/server"
)

// sessionRequests are those of a monitor session; one that nobody has sent anything to is empty (CONTRACT 6.2).
func (a *api) sessionRequests(r *http.Request) (answer, error) {
	id := r.PathValue("id")
	if err := server.CheckSessionID(id); err != nil {
		return answer{}, err
	}
	stored, total, err := a.Sessions.SessionRequests(r.Context(), id, limitOf(r, defaultReceived, server.MaxReceivedRequests))
	if err != nil {
		return answer{}, err
	}
	requests := a.showReceived(r.Context(), stored)
	return ok(map[string]any{"data": map[string]any{
		"session_id": id, "requests": requests, "total_requests": total, "returned_count": len(requests),
	}})
}

func (a *api) clearSession(r *http.Request) (answer, error) {
	id := r.PathValue("id")
	if err := server.CheckSessionID(id); err != nil {
		return answer{}, err
	}
	n, err := a.Sessions.ClearSessionRequests(r.Context(), id)
	if err != nil {
		return answer{}, err
	}
	return ok(map[string]any{"message": fmt.Sprintf("Cleared %d requests for session %s", n, id), "cleared_count": n})
}
