"""Where kernels run: one module for each kind of device."""
