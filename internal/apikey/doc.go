// Package apikey knows the keys that callers of the API prove themselves with: how they are made, written in the
// configuration (hashed, never the key itself), sent and recognised, and what each may do.
package apikey
