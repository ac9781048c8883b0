"""Pictures of crews: see `casework.actors.drawing.crews`."""
