package httpsend

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
)

// CheckResolved decides about a URL like AddressPolicy.Check, and besides about every address that its host name has now.
// The policy is enforced at every connect whether or not this is asked; asking tells the owner at registration what would
// otherwise be found out by the first delivery. A name that does not resolve passes: that may be over by then. An error
// is CodeInvalid with a violation of the field "url", or CodeUnavailable when ctx ended first.
func (s *Sender) CheckResolved(ctx context.Context, rawURL string) error {
	policy := s.dialer.policy
	if err := policy.Check(rawURL); err != nil {
		return err
	}
	u, err := url.Parse(rawURL)
	if err != nil || policy.owns(hostPort(u)) {
		return nil
	}
	host, _ := asciiHost(u.Hostname())
	if _, numeric, _ := parseHostAddress(host); numeric {
		return nil
	}
	lookup, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	addresses, err := cmp.Or(s.dialer.resolver, net.DefaultResolver).LookupNetIP(lookup, "ip", host)
	if err != nil && ctx.Err() != nil {
		return cancelledWhile(ctx, "looking up the webhook's host")
	}
	for _, ip := range addresses {
		if kind := policy.refusal(ip); kind != kindAllowed {
			return invalidURL(fmt.Sprintf("resolves to %s, which the address policy does not allow", kind))
		}
	}
	return nil
}
