package twin

import (
	"edgeplug/internal/convert"
	"edgeplug/internal/reason"
	wit "edgeplug/internal/wit/imports/edgeplug_plugin_twin"
)

func get() (Document, error) {
	result := wit.Get()
	if result.IsErr() {
		return Document{}, failure(result.Err())
	}
	return Document(result.Ok()), nil
}

func report(patch string) (uint64, error) {
	result := wit.Report(convert.Text(patch))
	if result.IsErr() {
		return 0, failure(result.Err())
	}
	return result.Ok(), nil
}

func failure(err wit.Error) error {
	switch err.Tag() {
	case wit.Error_Unavailable:
		return reason.Of(ErrUnavailable, err.Unavailable())
	case wit.Error_Invalid:
		return reason.Of(ErrInvalid, err.Invalid())
	}
	return &RefusedError{err.Refused()}
}
