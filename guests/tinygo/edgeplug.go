// Package edgeplug has the values that a plugin and the Edgeplug daemon exchange. It works with TinyGo and with Go.
//
// Every interface of the daemon is a package of the same name beside this one. A plugin calls [edgeplug/files],
// [edgeplug/config], [edgeplug/telemetry], [edgeplug/device], [edgeplug/twin], [edgeplug/acks], [edgeplug/state],
// [edgeplug/log] and [edgeplug/hardware]. What the daemon calls in a plugin, the plugin exports, in an init function:
//
//	package main
//
//	import (
//		"edgeplug"
//		"edgeplug/sensor"
//	)
//
//	type thermometer struct{}
//
//	func (thermometer) Sample() ([]edgeplug.Sample, error) {
//		return []edgeplug.Sample{edgeplug.NewSample("temperature", edgeplug.Number(21.5))}, nil
//	}
//
//	func init() { sensor.Export(thermometer{}) }
//
//	func main() {} // never called
//
// Importing one of [edgeplug/sensor], [edgeplug/commands], [edgeplug/twinevents], [edgeplug/connectionevents],
// [edgeplug/firmware], [edgeplug/lifecycle] and [edgeplug/transform] is what exports it, so import those that the
// plugin implements and no others.
//
// The daemon makes one call at a time, and goroutines run only while a call is under way. A panic ends the instance;
// its message is in the daemon's log, and a new instance is started.
//
// Under `go test` the packages talk to the host that [edgeplug/edgeplugtest] plays.
package edgeplug

import "time"

// Sample is one reading of one device: some of its attributes at one moment.
type Sample struct {
	// Device is the unique id of a child device, empty for the device itself.
	Device string
	// Time is when it was measured, in the years 0 to 9999; the zero time lets the daemon take the moment of arrival.
	Time time.Time
	// Values has 1 to 256 attributes, each name once.
	Values []Attribute
}

// Attribute is a name of 1 to 128 bytes, and what was measured.
type Attribute struct {
	Name  string
	Value Value
}

// Value is what an attribute may hold: a [Boolean], an [Integer], a [Number], a [Text], a [LatLong] or an [Object]. The
// device template in the cloud says which of them each attribute wants; the daemon reports a value of another kind as a
// fault.
type Value interface{ value() }

// Scalar is what a member of an [Object] may hold: a [Boolean], an [Integer], a [Number] or a [Text].
type Scalar interface {
	Value
	scalar()
}

// Boolean is true or false.
type Boolean bool

// Integer is kept whole, all 64 bits.
type Integer int64

// Number may have decimals. Not-a-number and the infinities are sent as the texts `NaN`, `inf` and `-inf`.
type Number float64

// Text is at most 64 KiB of UTF-8. What is no UTF-8 becomes the replacement character.
type Text string

// LatLong is a place in WGS 84 degrees.
type LatLong struct {
	// Latitude is -90 (south) to 90 (north).
	Latitude float64
	// Longitude is -180 (west) to 180 (east).
	Longitude float64
}

// Object has at most 256 members, each name once.
type Object []Member

// Member is a named part of an [Object].
type Member struct {
	Name  string
	Value Scalar
}

// NewSample returns a sample of the device itself with one attribute.
func NewSample(name string, value Value) Sample {
	return Sample{Values: []Attribute{{Name: name, Value: value}}}
}

// Add adds an attribute.
func (s *Sample) Add(name string, value Value) {
	s.Values = append(s.Values, Attribute{Name: name, Value: value})
}

// Get is the value of an attribute, nil when the sample does not have it.
func (s *Sample) Get(name string) Value {
	for _, attribute := range s.Values {
		if attribute.Name == name {
			return attribute.Value
		}
	}
	return nil
}

// Add adds a member.
func (o *Object) Add(name string, value Scalar) {
	*o = append(*o, Member{Name: name, Value: value})
}

// Ending is how something the cloud asked for ended: [Done] or [Failed].
type Ending interface {
	Reply
	ending()
}

// Reply is what a plugin says to something the cloud asked for: [Done], [Failed] or [Deferred].
type Reply interface{ reply() }

// Done is carried out, with a message for whoever asked, at most 1000 characters.
type Done string

// Failed is not carried out; the message says why.
type Failed string

// Deferred takes longer than the call: the plugin tells the end by acks.Finish. Without an end within an hour the cloud
// is told that it failed.
type Deferred struct{}

func (Boolean) value() {}
func (Integer) value() {}
func (Number) value()  {}
func (Text) value()    {}
func (LatLong) value() {}
func (Object) value()  {}

func (Boolean) scalar() {}
func (Integer) scalar() {}
func (Number) scalar()  {}
func (Text) scalar()    {}

func (Done) reply()     {}
func (Failed) reply()   {}
func (Deferred) reply() {}

func (Done) ending()   {}
func (Failed) ending() {}
