package server

import (
	"net/http"
	"time"

	"go.uber.org/zap"
)

// NewHTTPServer returns a server for the handler, without address: HTTP/1.1 and HTTP/2, also unencrypted, as gRPC needs.
// A peer that sends or reads too slowly is cut off; a stream that means to last longer has to extend its deadline
// through http.ResponseController.
func NewHTTPServer(handler http.Handler, logger *zap.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{
		Handler:           handler,
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       60 * time.Second,
		WriteTimeout:      MaxWait + 60*time.Second, // reading and waiting for an outcome come before the answer
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    64 << 10,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 1000},
	}
	if logger != nil {
		if errorLog, err := zap.NewStdLogAt(logger, zap.DebugLevel); err == nil {
			s.ErrorLog = errorLog // about peers: broken handshakes, lost connections
		}
	}
	return s
}
