package redisstore

import (
	"context"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// clientLog passes what the Redis client has to say on to zap, at debug: every failure it mentions reaches its caller as
// an error anyway, and it would print to standard error otherwise.
type clientLog struct{ logger *zap.Logger }

// Printf implements the client's logging interface.
func (l clientLog) Printf(_ context.Context, format string, v ...any) {
	l.logger.Debug("redis client", zap.String("says", fmt.Sprintf(format, v...)))
}

var logging sync.Once

// LogTo sends the Redis client's own log lines to logger. The client has one log for the whole process, so the first call
// decides.
func LogTo(logger *zap.Logger) {
	logging.Do(func() { redis.SetLogger(clientLog{logger}) })
}
