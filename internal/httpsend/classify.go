package httpsend

import (
	"compress/flate"
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/emprops/holdfast"
)

// failure is why an attempt failed. The message is made of fixed words, numbers and names from the webhook's URL; what
// the peer or a library said is not repeated in it, so it can hold neither a secret nor a response body (D33, D45).
type failure struct {
	class   holdfast.ErrorClass
	message string
}

// exhausted tells whether it was this node that could not open a connection. That is no failure of the receiver, so it
// must neither be counted nor use up an attempt (D25).
func exhausted(err error) bool {
	if dns, ok := errors.AsType[*net.DNSError](err); ok { // it keeps its cause as text only
		return strings.Contains(dns.Err, syscall.EMFILE.Error()) || strings.Contains(dns.Err, syscall.ENFILE.Error())
	}
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

// classify says why no response header came.
func (s *Sender) classify(err error, c *attemptContext) failure {
	if blocked, ok := errors.AsType[*blockedError](err); ok {
		return failure{holdfast.ClassBlocked, blocked.Error()}
	}
	if c.Err() != nil {
		return failure{holdfast.ClassTimeout, c.timedOut(s.timeout)}
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		switch {
		case dns.IsNotFound:
			return failure{holdfast.ClassDNS, "no such host " + clip(dns.Name)}
		case dns.IsTimeout:
			return failure{holdfast.ClassDNS, fmt.Sprintf("looking up host %s had no answer within %s", clip(dns.Name), shown(c.since(phaseResolve)))}
		}
		return failure{holdfast.ClassDNS, "looking up host " + clip(dns.Name) + " failed"}
	}
	if handshake, ok := errors.AsType[*tlsError](err); ok {
		return failure{holdfast.ClassTLS, tlsMessage(handshake.cause)}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return failure{holdfast.ClassConnect, dialMessage(op, c)}
	}
	return classifyBroken(err, "before a response came")
}

func dialMessage(err *net.OpError, c *attemptContext) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH):
		return "host unreachable"
	case errors.Is(err, syscall.ENETUNREACH):
		return "network unreachable"
	case errors.Is(err, syscall.ECONNRESET):
		return "connection reset while connecting"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this node has no address from which to reach the host"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "this node's network does not permit the connection"
	case err.Timeout():
		return "the host did not answer connection requests for " + shown(c.since(phaseConnect))
	}
	return "connecting failed"
}

// classifyBody says why a response's body did not come to its end.
func (s *Sender) classifyBody(err error, c *attemptContext) failure {
	if c.Err() != nil {
		return failure{holdfast.ClassBodyStall, c.timedOut(s.timeout)}
	}
	_, corrupt := errors.AsType[flate.CorruptInputError](err)
	if corrupt || errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) {
		return failure{holdfast.ClassProtocol, "the response body is not valid gzip"}
	}
	return classifyBroken(err, "inside the response body")
}

// classifyBroken tells a connection that ended from one that carries something other than HTTP.
func classifyBroken(err error, where string) failure {
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return failure{holdfast.ClassReset, "connection reset " + where}
	}
	_, network := errors.AsType[*net.OpError](err)
	if network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		err.Error() == "http: server closed idle connection" { // net/http does not export this error
		return failure{holdfast.ClassReset, "connection closed " + where}
	}
	if strings.Contains(err.Error(), "server response headers exceeded") { // nor this one
		return failure{holdfast.ClassProtocol, fmt.Sprintf("the response headers are larger than %d bytes", maxHeaderBytes)}
	}
	return failure{holdfast.ClassProtocol, "the answer is not valid HTTP/1.1"}
}

func tlsMessage(err error) string {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the server does not speak TLS"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "certificate signed by an unknown authority"
	}
	if name, ok := errors.AsType[x509.HostnameError](err); ok {
		return "certificate is not valid for " + clip(name.Host)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			return "certificate has expired or is not valid yet"
		}
		return "certificate is not valid"
	}
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		return "the server refused the TLS handshake: " + alert.Error()
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return "connection closed in the TLS handshake"
	}
	// What the library itself has to say holds nothing but fixed words and numbers, unless a certificate is quoted.
	if text := err.Error(); strings.HasPrefix(text, "tls: ") && !strings.Contains(text, "x509") {
		return "TLS handshake failed: " + clip(strings.TrimPrefix(text, "tls: "))
	}
	return "TLS handshake failed"
}

// classifyStatus is for a response outside 2xx.
func classifyStatus(resp *http.Response) failure {
	message := strings.TrimSpace(fmt.Sprintf("HTTP %d %s", resp.StatusCode, http.StatusText(resp.StatusCode)))
	if resp.StatusCode < 300 || resp.StatusCode > 399 {
		return failure{holdfast.ClassStatus, message}
	}
	if to, err := url.Parse(resp.Header.Get("Location")); err == nil && to.String() != "" {
		// Without the parts that may carry a token.
		to.User, to.RawQuery, to.ForceQuery, to.Fragment, to.RawFragment = nil, "", false, "", ""
		message += " redirects to " + clip(to.String()) + "; redirects are not followed"
	}
	return failure{holdfast.ClassRedirect, message}
}

// clip bounds a text that came from outside.
func clip(s string) string {
	const limit = 256
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strings.ToValidUTF8(s, "")
}
