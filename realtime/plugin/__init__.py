"""In a digital audio workstation: a thin plugin that passes sound to this program and its notes to the host.

``plugin.cpp`` is the plugin (the shell), ``host`` the program's side (the engine), ``memory.h`` what they share; ``building``,
``installing`` and ``checking`` are what ``rt-melody plugin`` does.
"""
