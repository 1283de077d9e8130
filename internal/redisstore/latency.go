package redisstore

import (
	"math"
	"strconv"
)

// Response times are counted in classes whose bounds grow by a fifth: class 0 is below 1 ms, class i reaches from
// 1.2^(i-1) ms to 1.2^i ms, the last one is everything from 81 s on. So 64 numbers tell every percentile within a fifth.
const (
	latencyClasses = 64
	latencyGrowth  = 1.2
)

// latencyClass is the class of a response time in ms.
func latencyClass(ms float64) int {
	if !(ms >= 1) {
		return 0
	}
	return int(min(math.Log(ms)/math.Log(latencyGrowth)+1, latencyClasses-1))
}

// latencyBound is the lower bound of a class in ms.
func latencyBound(class int) float64 {
	if class == 0 {
		return 0
	}
	return math.Pow(latencyGrowth, float64(class-1))
}

// latencies counts attempts by class.
type latencies [latencyClasses]int64

func latenciesOf(fields map[string]string) latencies {
	var l latencies
	for field, n := range fields {
		if class, err := strconv.Atoi(field); err == nil && class >= 0 && class < latencyClasses {
			l[class] = max(parseInt(n), 0)
		}
	}
	return l
}

// percentile is the response time in ms that a share of the attempts, between 0 and 1, does not exceed: 0 without any.
// Within a class they are taken to be spread evenly.
func (l *latencies) percentile(share float64) float64 {
	var total int64
	for _, n := range l {
		total += n
	}
	rank, below := share*float64(total), 0.0
	for class, n := range l {
		if n == 0 || below+float64(n) < rank {
			below += float64(n)
			continue
		}
		low := latencyBound(class)
		if class == latencyClasses-1 {
			return low
		}
		return low + (latencyBound(class+1)-low)*(rank-below)/float64(n)
	}
	return 0
}
