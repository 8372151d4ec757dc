"""Stage 3, slices <-> grid: stack, register, mask, regrid and its inverse. SimpleITK lives here."""
