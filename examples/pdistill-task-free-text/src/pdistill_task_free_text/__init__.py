"""Two tasks for pdistill with free-form answers."""

from pdistill import Registry, Task, hookimpl
from pdistill_task_free_text.museum import Museum
from pdistill_task_free_text.orders import Orders

__all__ = ["Museum", "Orders"]


@hookimpl
def pdistill_register_tasks(tasks: Registry[Task]) -> None:
    """Register the tasks `orders` and `museum`."""
    tasks.register("orders", lambda options: Orders(), summary="turn orders to a bakery into JSON")
    tasks.register("museum", lambda options: Museum(), summary="answer a museum's visitors in a few words")
