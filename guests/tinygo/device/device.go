// Package device knows the device the plugin runs on, and what the cloud says it looks like.
package device

// Kind is what an attribute holds.
type Kind uint8

const (
	Boolean Kind = iota
	// Bit is 0 or 1.
	Bit
	// Integer has 32 bits.
	Integer
	// Long has 64 bits.
	Long
	// Number has decimals.
	Number
	Text
	// Date is `YYYY-MM-DD`.
	Date
	// Time is `hh:mm:ss`.
	Time
	// DateTime is as ISO 8601 writes it.
	DateTime
	LatLong
	Object
)

var kinds = [...]string{
	"boolean", "bit", "integer", "long", "number", "text", "date", "time", "date-time", "lat-long", "object",
}

// String is how the interface spells it, for instance `lat-long`.
func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return "unknown"
}

// Model is what the cloud last said about this device.
type Model struct {
	Attributes []Attribute
	// Children are the child devices of a gateway; the device itself is not among them.
	Children []Child
	Settings []Setting
	// FrequencyS: the cloud wants readings no more often than this, in seconds; 0 is as often as they come.
	FrequencyS uint32
	// Edge is whether the daemon sends windows of readings (minimum, maximum, average and so on) in their place.
	Edge bool
}

// Attribute is something the cloud wants measured.
type Attribute struct {
	Name string
	Kind Kind
	// Validity is what values are valid, as typed at the portal, for instance `red, green`; empty when all are.
	Validity string
	// Tag is that of the devices that have it; empty on a device without children.
	Tag string
	// Members are those of an object.
	Members []Member
}

// Member is a member of an object attribute.
type Member struct {
	Name     string
	Kind     Kind
	Validity string
}

// Setting is a desired value that the device template declares for the twin.
type Setting struct {
	Name     string
	Kind     Kind
	Validity string
}

// Child is a child device.
type Child struct {
	UniqueID string
	Tag      string
}

// UniqueID is the id under which the cloud knows the device.
func UniqueID() string { return uniqueID() }

// Template is what the cloud last said about this device, nil before the device has ever reached it. It may change at
// any time; ask again when it matters.
func Template() *Model { return template() }

// Connected is whether the daemon is connected to the cloud at this moment. There is no need to ask before sending.
func Connected() bool { return connected() }

// Disconnect ends the connection to the cloud until [Reconnect]. It needs the right `disconnect`, and the error says
// what is missing. Readings go on being accepted meanwhile.
func Disconnect() error { return disconnect() }

// Reconnect lets the daemon connect again; it needs the right `disconnect`. Without a [Disconnect] before it nothing
// happens.
func Reconnect() error { return reconnect() }
