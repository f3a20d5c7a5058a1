package lifecycle

import (
	"edgeplug/internal/convert"
	"edgeplug/internal/wit_types"
)

func witStart() wit_types.Result[wit_types.Unit, string] {
	if exported == nil {
		panic("the plugin imports edgeplug/lifecycle, but does not call lifecycle.Export in an init function")
	}
	return convert.Success(exported.Start())
}

func witStop() {
	if stopper, able := exported.(Stopper); able {
		stopper.Stop()
	}
}

func witSaveState() wit_types.Result[[]uint8, string] {
	saver, able := exported.(Saver)
	if !able {
		return wit_types.Ok[[]uint8, string](nil)
	}
	saved, err := saver.SaveState()
	if err != nil {
		return convert.Failure[[]uint8](err)
	}
	return wit_types.Ok[[]uint8, string](saved)
}

// A plugin that takes nothing over starts afresh.
func witRestoreState(saved []uint8) wit_types.Result[wit_types.Unit, string] {
	if restorer, able := exported.(Restorer); able {
		return convert.Success(restorer.RestoreState(saved))
	}
	return convert.Success(nil)
}
