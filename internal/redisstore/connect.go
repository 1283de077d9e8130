package redisstore

import (
	"cmp"
	"net/url"
	"strings"

	"github.com/redis/go-redis/v9"

	holdfast "github.com/emprops/holdfast"
)

// dialerRetries is how often one attempt of a command dials. The client's default of 5, 100 ms apart, comes on top of the
// attempts that the command itself has and makes it slow to notice that Redis is down.
const dialerRetries = 1

// Connect makes a client for a Redis URL; no connection is made yet. Forms, the ones over TCP with rediss for TLS:
//
//	redis://user:password@host:port/db                          one server
//	unix:///path/to/socket?db=0                                 one server on a socket
//	redis+sentinel://user:password@host1:port,host2/master/db   the server that Sentinel names; port 26379 by default,
//	                                                            Sentinel's own login as sentinel_username and
//	                                                            sentinel_password in the query
//	redis+cluster://user:password@host1:port,host2              Redis Cluster; needs a prefix with a hash tag
//
// Further options of the client go into the query by their names in go-redis. Deadlines of contexts hold for every
// command. CodeInvalid when the URL is not understood; the text repeats nothing of it, for it may hold a password.
func Connect(rawURL string) (redis.UniversalClient, error) {
	scheme, rest, _ := strings.Cut(rawURL, "://")
	base, kind, _ := strings.Cut(scheme, "+")
	var client redis.UniversalClient
	var err error
	switch kind {
	case "":
		var opts *redis.Options
		if opts, err = redis.ParseURL(rawURL); err == nil {
			opts.ContextTimeoutEnabled = true
			opts.DialerRetries = cmp.Or(opts.DialerRetries, dialerRetries)
			client = redis.NewClient(opts)
		}
	case "sentinel":
		var opts *redis.FailoverOptions
		if opts, err = sentinelOptions(base, rest); err == nil {
			opts.ContextTimeoutEnabled = true
			opts.DialerRetries = cmp.Or(opts.DialerRetries, dialerRetries)
			client = redis.NewFailoverClient(opts)
		}
	case "cluster":
		var opts *redis.ClusterOptions
		if opts, err = redis.ParseClusterURL(manyHosts(base, rest, "6379", url.Values{})); err == nil {
			opts.ContextTimeoutEnabled = true
			opts.DialerRetries = cmp.Or(opts.DialerRetries, dialerRetries)
			client = redis.NewClusterClient(opts)
		}
	default:
		err = invalidURL()
	}
	if err != nil {
		return nil, invalidURL()
	}
	return client, nil
}

// sentinelOptions moves the name of the master from the path to where go-redis expects it. go-redis takes the login of
// the URL for Sentinel's; here it is the server's, as in every other form.
func sentinelOptions(base, rest string) (*redis.FailoverOptions, error) {
	rest, rawQuery, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	master, db, _ := strings.Cut(path, "/")
	query, err := url.ParseQuery(rawQuery)
	if err != nil || master == "" {
		return nil, invalidURL()
	}
	user, password := query.Get("sentinel_username"), query.Get("sentinel_password")
	query.Del("sentinel_username")
	query.Del("sentinel_password")
	query.Set("master_name", master)
	opts, err := redis.ParseFailoverURL(manyHosts(base, authority+"/"+db, "26379", query))
	if err != nil {
		return nil, err
	}
	opts.Username, opts.Password = opts.SentinelUsername, opts.SentinelPassword
	opts.SentinelUsername, opts.SentinelPassword = user, password
	return opts, nil
}

// manyHosts writes a list of hosts, which net/url does not know, as go-redis expects it: one host and addr parameters.
func manyHosts(base, rest, port string, query url.Values) string {
	rest, rawQuery, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	login, list := "", authority
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		login, list = authority[:at+1], authority[at+1:]
	}
	hosts := strings.Split(list, ",")
	for i, host := range hosts {
		if !strings.Contains(host, ":") {
			hosts[i] = host + ":" + port
		}
		if i > 0 {
			query.Add("addr", hosts[i])
		}
	}
	return base + "://" + login + hosts[0] + "/" + path + "?" + strings.Trim(rawQuery+"&"+query.Encode(), "&")
}

func invalidURL() error {
	return holdfast.Errorf(holdfast.CodeInvalid, "the Redis URL is not valid: it must have the form "+
		"redis://user:password@host:port/db, rediss://…, unix:///socket, redis+sentinel://host,host/master/db or "+
		"redis+cluster://host,host")
}
