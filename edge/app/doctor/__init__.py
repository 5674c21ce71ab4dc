"""An installation in, what is well with it and what to do about the rest out: ``harken doctor``.

`finding` holds what a check says, `privacy` takes out of it whose machine it is, and `report` shows
it. What is looked at: `program` (versions, interpreters), `sound_system` (PortAudio, devices,
permissions, sound servers), `model_check` against `golden` data, and `live`, the microphone, with
the arithmetic in `level`.
"""
