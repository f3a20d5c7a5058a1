package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"edgeplug"
)

// What the kernel counts of an interface since it is there.
type counters struct {
	receivedBytes, receivedPackets, sentBytes, sentPackets uint64
	// Packets with errors and packets dropped, in both directions.
	lost uint64
}

type networkInterface struct {
	name string
	counters
}

// The columns of /proc/net/dev behind an interface's name (Linux, net/core/net-procfs.c): eight of what was received,
// eight of what was sent, each beginning with bytes, packets, errors and drops.
const columns = 16

// Reads /proc/net/dev: two lines of heading, then a line for each interface. There may be no space behind the colon.
func parsed(text string) ([]networkInterface, error) {
	var interfaces []networkInterface
	for line := range strings.Lines(text) {
		name, numbers, found := strings.Cut(line, ":")
		if !found {
			continue
		}
		fields := strings.Fields(numbers)
		if len(fields) < columns {
			return nil, fmt.Errorf("%s has %d columns for %s, not %d", netDev, len(fields), strings.TrimSpace(name), columns)
		}
		var column [columns]uint64
		for i := range column {
			number, err := strconv.ParseUint(fields[i], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%s has %q for %s, which is no count", netDev, fields[i], strings.TrimSpace(name))
			}
			column[i] = number
		}
		interfaces = append(interfaces, networkInterface{strings.TrimSpace(name), counters{
			receivedBytes: column[0], receivedPackets: column[1], sentBytes: column[8], sentPackets: column[9],
			lost: column[2] + column[3] + column[10] + column[11],
		}})
	}
	return interfaces, nil
}

func (c counters) totals() edgeplug.Object {
	return edgeplug.Object{
		{Name: "rx_bytes", Value: integer(c.receivedBytes)},
		{Name: "tx_bytes", Value: integer(c.sentBytes)},
		{Name: "lost", Value: integer(c.lost)},
	}
}

// The totals, and behind them rates since the reading before, those that can be told.
func (c counters) since(before counters, elapsed time.Duration) edgeplug.Object {
	object := c.totals()
	for _, rate := range []struct {
		name        string
		before, now uint64
	}{
		{"rx_bytes_s", before.receivedBytes, c.receivedBytes},
		{"rx_packets_s", before.receivedPackets, c.receivedPackets},
		{"tx_bytes_s", before.sentBytes, c.sentBytes},
		{"tx_packets_s", before.sentPackets, c.sentPackets},
	} {
		if grown, known := growth(rate.before, rate.now); known && elapsed > 0 {
			object.Add(rate.name, edgeplug.Number(float64(grown)/elapsed.Seconds()))
		}
	}
	return object
}

// How much a counter has grown. Many have 32 bits only, some of them on kernels of 64 bits, and begin again at 0 past
// 4294967295: a counter that fell from the upper half of that has gone round. One that fell from anywhere else was set
// back, as when a driver is loaded anew, and nobody knows how much went by.
func growth(before, now uint64) (grown uint64, known bool) {
	const round = 1 << 32
	switch {
	case now >= before:
		return now - before, true
	case before >= round/2 && before < round:
		return now + round - before, true
	}
	return 0, false
}

func integer(count uint64) edgeplug.Integer { return edgeplug.Integer(min(count, math.MaxInt64)) }
