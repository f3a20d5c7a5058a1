// Package reason makes errors that speak in the daemon's words and still say what kind they are.
package reason

// Error is of a kind, and reads as the text.
type Error struct {
	Kind error
	Text string
}

func (e *Error) Error() string {
	if e.Text == "" {
		return e.Kind.Error()
	}
	return e.Text
}

func (e *Error) Unwrap() error { return e.Kind }

// Of is an error of a kind, in the words given.
func Of(kind error, text string) error { return &Error{kind, text} }
