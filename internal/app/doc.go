// Package app is the composition root: it turns a configuration into running services. dev and serve run the same App;
// dev starts the servers around it first and passes their addresses.
package app
