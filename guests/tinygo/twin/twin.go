// Package twin reads and changes the device twin: JSON documents that the cloud keeps. A twin may hold anything, so
// they are JSON text here, at most 32 KiB, nested at most 10 deep. Package edgeplug/twinevents tells of changes.
package twin

import (
	"errors"
	"strconv"
)

var (
	// ErrUnavailable: there is no connection, or the hub did not answer in time. Nothing was changed as far as is
	// known.
	ErrUnavailable = errors.New("the twin cannot be had at the moment")
	// ErrInvalid: the text is not JSON, not an object, or too large; the error says where.
	ErrInvalid = errors.New("this is no JSON for the twin")
)

// RefusedError is the hub's answer when it does not take a report.
type RefusedError struct {
	// Status is the hub's status code.
	Status uint16
}

func (e *RefusedError) Error() string {
	return "the hub refused it with status " + strconv.Itoa(int(e.Status))
}

// Document is the whole twin.
type Document struct {
	// Desired is what the cloud wants, a JSON object.
	Desired string
	// DesiredVersion grows with every change of Desired.
	DesiredVersion uint64
	// Reported is what the device last reported, a JSON object.
	Reported string
	// ReportedVersion grows with every change of Reported.
	ReportedVersion uint64
}

// Get asks the hub, and waits for its answer; the wait does not count against the deadline of the call.
func Get() (Document, error) { return get() }

// Report merges a JSON object into what is reported: its members replace those of the same name, a member of `null` is
// removed. It waits for the hub's answer, which is the new version.
func Report(patch string) (version uint64, err error) { return report(patch) }
