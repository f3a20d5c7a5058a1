package acks

import (
	"edgeplug"
	"edgeplug/internal/convert"
	"edgeplug/internal/reason"
	wit "edgeplug/internal/wit/imports/edgeplug_plugin_acks"
)

func finish(id string, ending edgeplug.Ending) error {
	result := wit.Finish(convert.Text(id), convert.Ending(ending))
	if !result.IsErr() {
		return nil
	}
	switch err := result.Err(); err.Tag() {
	case wit.Error_Unknown:
		return ErrUnknown
	case wit.Error_NotYours:
		return ErrNotYours
	default:
		return reason.Of(ErrUnavailable, err.Unavailable())
	}
}

func progress(id string, percent uint8, message string) {
	wit.Progress(convert.Text(id), percent, convert.Text(message))
}
